"""The commands of `repu-lab`, a file each; configs/command.py says what one is and finds them here."""
