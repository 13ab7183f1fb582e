"""The dialog with the details of a job, and its submission."""
