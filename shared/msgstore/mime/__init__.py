"""Reading and writing message text, octets first: header fields and trace lines.  Pure, linear, within caps.

Hostile headers never meet ``email.policy.default``; what is beyond a cap counts as absent and is delivered unchanged.
"""
