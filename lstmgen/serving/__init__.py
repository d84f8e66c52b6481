"""A model as an HTTP service: one batch that all requests share, and OpenAI's completions interface around it."""
