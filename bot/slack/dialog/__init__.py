"""The dialog of one restore job, and its submission."""
