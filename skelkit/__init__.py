"""skelkit: raw skeleton recordings to normalised HDF5, and their augmentation."""

__version__ = "0.1.0"
