"""The door: one call in, verified over its raw bytes, one durable row, one short answer.

In order: method and size, address, rate by address, authentication and signature, payload, rate of
the source, store. Whatever a stranger sends gets an answer with a cause, and one below 500 unless
the fault is ours.

The modules by the order of the way: `door` leads through it, `arrival`, `rates`, `proof`,
`contents`; it ends in `handshake`, `acceptance` or `refusal`. What is kept is `receipt`.
"""
