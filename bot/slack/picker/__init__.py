"""The dialog with pickers for project, cluster and job."""
