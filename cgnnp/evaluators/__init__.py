"""How networks are evaluated fast, and compared with plain torch before that is believed."""
