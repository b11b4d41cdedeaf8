"""Annotated photographs of people: COCO and imSitu, their labels and subsets."""
