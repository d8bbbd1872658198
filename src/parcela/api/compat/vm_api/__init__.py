"""The older API ``vm_api``, which has its addresses under ``/api/v1`` in common with the canonical API.

Its clients are told by a mark: a login by a form with the field ``email`` opens a session that ``speaks_vm_api`` (a
personal token can be made so). Requests with such a token are taken by the routes here, which stand before the
canonical ones; all others, and all other addresses, are canonical. The mark is a column of the token's row, so nobody
can forge it, and refreshing hands it on. It decides shapes and units, never rights.
"""
