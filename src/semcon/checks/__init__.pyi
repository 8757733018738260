# Written by scripts/stubs.py from the files of this folder.
