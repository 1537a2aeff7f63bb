"""The only place where gold labels are read. Reports may use it; nothing that refines a concept
may.
"""
