"""Every decoder against bytes that nobody meant: see ``target`` for what one promises."""
