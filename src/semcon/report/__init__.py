"""What people read: a terminal table and one self-contained page, made from records alone. Never imports torch."""
