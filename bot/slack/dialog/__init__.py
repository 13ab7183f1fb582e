"""The dialog in which a job is selected, shown and submitted."""
