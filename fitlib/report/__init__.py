"""What people read: figures, sections, captions, sentences, pages."""
