"""Actions of people, what they send to the app, and what people see."""
