"""Sentences computed from the tables: what may be said of the results, and nothing more.

Every function is pure: tables (`fitlib.tables`), plan and evidence in, plain text out (no markup; whoever shows it
escapes it). A value that is not there reads "not estimable", one that never changes "constant in all n runs"; no NaN is
ever printed. Differences are technique − baseline: negative means that bias fell. Points are percentage points.
"""
