"""A model as an HTTP service: one batch that all requests share, and OpenAI's completions interface around it.

Knows: NumPy in `batch`; asyncio in `worker`; starlette in `app` alone; uvicorn in `server` alone.
Does not know: terminals, training or torch.
"""
