#!/usr/bin/env bash
# A Debian package in dist/: the program with all its libraries below /opt/syncd/VERSION, the unit, the account, the manual.
# Needs python3 with venv, dpkg-deb, and .venv (`make`) for the wheel. The package needs the Python that builds it.
#
#   deploy/deb.sh                     builds the wheel and installs it with the hashed set of libraries
#   ENVIRONMENT=DIR deploy/deb.sh     takes an environment that was made before, with bin/syncd in it
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
version=$(.venv/bin/hatchling version)
out=${OUT:-dist}
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
home=/opt/syncd/$version
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)}

mkdir -p "$out" "$root$home" "$root/DEBIAN"
if [[ ${ENVIRONMENT:-} ]]; then
  cp -a "$ENVIRONMENT/." "$root$home/"
else
  wheels=$(mktemp -d)
  .venv/bin/hatchling build -t wheel -d "$wheels" >/dev/null
  python3 -m venv "$root$home"
  pip=("$root$home/bin/python" -m pip --disable-pip-version-check --quiet install --no-compile)
  "${pip[@]}" --require-hashes -r deploy/requirements.lock
  "${pip[@]}" --no-deps "$wheels"/*.whl
  rm -rf "$wheels"
fi
# scripts of the environment name the folder in which it was made
{ find "$root$home" \( -path "$root$home/bin/*" -o -name pyvenv.cfg \) -type f -exec grep -lIF "$root" {} + | xargs -r sed -i "s|$root||g"; } || true
find "$root" -name __pycache__ -type d -prune -exec rm -rf {} +

ln -s "$version" "$root/opt/syncd/current"
install -D -m 0644 deploy/syncd.service "$root/lib/systemd/system/syncd.service"
install -D -m 0644 deploy/sysusers.conf "$root/usr/lib/sysusers.d/syncd.conf"
install -D -m 0644 deploy/tmpfiles.conf "$root/usr/lib/tmpfiles.d/syncd.conf"
install -D -m 0644 -t "$root/usr/share/man/man1" deploy/man/syncd.1
install -D -m 0644 -t "$root/usr/share/man/man5" deploy/man/syncd-config.5
install -D -m 0644 -t "$root/usr/share/doc/syncd" README.md CHANGELOG.md deploy/install.md deploy/roles.sql
install -D -m 0644 -t "$root/usr/share/doc/syncd/examples" config.example.toml deploy/prometheus-alerts.yaml deploy/grafana-dashboard.json
mkdir -p "$root/usr/bin"
ln -s /opt/syncd/current/bin/syncd "$root/usr/bin/syncd"

python=$(python3 -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
cat >"$root/DEBIAN/control" <<CONTROL
Package: syncd
Version: $version
Architecture: $(dpkg --print-architecture)
Maintainer: the maintainers of syncd <syncd@localhost>
Installed-Size: $(du -ks "$root" | cut -f1)
Depends: $python
Recommends: postgresql
Suggests: prometheus
Section: database
Priority: optional
Description: PostgreSQL mirror of trade APIs
 syncd keeps a PostgreSQL mirror of CycleSoftware, Cyclis, Autengo and GHS
 Automotive fresh, complete and honest, within each vendor's request budget.
CONTROL
cat >"$root/DEBIAN/postinst" <<'POSTINST'
#!/bin/sh
# makes account and directories; a service that runs goes on with the version before until it is restarted
set -e
if [ "$1" = configure ]; then
  if command -v systemd-sysusers >/dev/null; then systemd-sysusers syncd.conf || true; fi
  if command -v systemd-tmpfiles >/dev/null; then systemd-tmpfiles --create syncd.conf || true; fi
  if [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
  echo "syncd: next, write /etc/syncd/config.toml (syncd init), then: syncd migrate; syncd check; systemctl enable --now syncd"
fi
POSTINST
cat >"$root/DEBIAN/prerm" <<PRERM
#!/bin/sh
# ends the service, and takes away what Python compiled when root ran the program: dpkg does not know of it;
# configuration, account and data stay, for they are not the package's
set -e
if [ "\$1" = remove ] && [ -d /run/systemd/system ]; then systemctl disable --now syncd.service || true; fi
find $home -name __pycache__ -type d -prune -exec rm -rf {} + || true
PRERM
chmod 0755 "$root/DEBIAN/postinst" "$root/DEBIAN/prerm" "$root"
# zstd, which dpkg of Debian 12 and Ubuntu 22.04 read: xz takes minutes of work for some megabytes less
dpkg-deb --root-owner-group -Zzstd --build "$root" "$out/syncd_${version}_$(dpkg --print-architecture).deb"
