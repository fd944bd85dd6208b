from syncd.api import open_mirror as open_mirror
from syncd.errors import SyncdError as SyncdError

__version__: str
