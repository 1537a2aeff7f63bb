"""Whether what is exported opens where it is said to, and does there what it does here: a file a consumer.

Add a consumer: a file with a function from a `Bench` to rows, and a line in `__main__.CONSUMERS`.
"""
