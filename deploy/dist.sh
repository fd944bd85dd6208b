#!/usr/bin/env bash
# A release in dist/: wheel, source archive, bill of materials, checksums. Each is checked as its user will meet it.
# Needs .venv (`make`). What checks is installed from deploy/release.lock into build/release, syncd into build/clean.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
version=$(.venv/bin/hatchling version)
pip=(-m pip --disable-pip-version-check --quiet)

echo "--- build syncd $version"
rm -rf dist build/clean build/release build/unpacked
.venv/bin/hatchling build -t sdist -t wheel
wheel=dist/syncd-$version-py3-none-any.whl
sdist=dist/syncd-$version.tar.gz

echo "--- metadata"
python3 -m venv build/release
build/release/bin/python "${pip[@]}" install --require-hashes -r deploy/release.lock
build/release/bin/twine check --strict "$wheel" "$sdist"

echo "--- the source archive builds the same wheel"
mkdir -p build/unpacked
tar -xzf "$sdist" -C build/unpacked --strip-components=1
(cd build/unpacked && ../../.venv/bin/hatchling build -t wheel >/dev/null)
diff <(unzip -Z1 "$wheel" | sort) <(unzip -Z1 "build/unpacked/$wheel" | sort)

echo "--- the wheel in a clean environment"
python3 -m venv build/clean
build/clean/bin/python "${pip[@]}" install --require-hashes -r deploy/requirements.lock
build/clean/bin/python "${pip[@]}" install --no-deps "$wheel"
build/clean/bin/python "${pip[@]}" check
home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
(
  cd "$home" # no file of the checkout is near
  syncd=$OLDPWD/build/clean/bin/syncd
  [[ $("$syncd" --version) == *"$version"* ]]
  "$syncd" --version
  "$syncd" --help >/dev/null
  HOME=$home XDG_STATE_HOME=$home/state "$syncd" demo --once </dev/null | tail -n 12
)

echo "--- bill of materials"
build/release/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible --of JSON \
  -o "dist/syncd-$version.cdx.json" build/clean/bin/python
python3 - "dist/syncd-$version.cdx.json" <<'PYTHON'
import json, sys
found = json.load(open(sys.argv[1]))
names = {part["name"].lower() for part in found["components"]}
assert {"aiohttp", "asyncpg", "sqlalchemy"} <= names, sorted(names)
print(f"{found['bomFormat']} {found['specVersion']}, {len(names)} components")
PYTHON

(cd dist && sha256sum -- syncd-* | tee SHA256SUMS)
