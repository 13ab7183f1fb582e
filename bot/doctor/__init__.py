"""`cancel-restore doctor`: asks the real services and says what to fix; it changes nothing."""
