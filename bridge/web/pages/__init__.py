"""The pages that people see: sign in, approve or deny, look at what they approved. They work without a script."""
