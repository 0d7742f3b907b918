"""Training: the update, the composed reward, prompts, monitors and the run directory. No backend is known here."""
