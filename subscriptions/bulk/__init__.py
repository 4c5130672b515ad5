"""Many subscriptions at once: files in and out, and jobs that work a list of them off."""
