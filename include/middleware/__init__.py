"""Middlewares that report what goes wrong with requests: exceptions, timeouts, refused access.

``include.middleware.django``, ``.asgi`` and ``.wsgi``; each needs what its framework needs, and no
more. They pass requests, answers and exceptions on untouched.
"""
