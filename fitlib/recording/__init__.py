"""What a run leaves behind, whoever trains: recorder, predictions, fingerprint."""
