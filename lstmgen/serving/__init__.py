"""A model as an HTTP service: one batch that all requests share, and OpenAI's completions interface around it.

Knows: NumPy in `batch`; asyncio in `worker`; starlette in `app`; uvicorn in `server`; the page of `export` in
`service`.
Does not know: terminals, training or torch.
"""
