"""The report: figures, sections, captions, sentences, pages."""
