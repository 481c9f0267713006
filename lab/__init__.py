"""The lab: configuration, broker, collector, ledger, historian, scoring runtime, supervisor, command line."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("jissho-lab")
except PackageNotFoundError:  # a checkout that was never installed
    __version__ = "0+checkout"
