"""The verbs: the functions of ``import paraphrase_rl as prl``. Every command of ``prl`` calls one of them.

``scoring``, ``calibrating``, ``rewriting`` and ``data`` hold the verbs about texts; ``training``, ``evaluating``,
``hardening`` and ``reporting`` those about recipes and runs.

Conventions, the same for every verb:

- Texts, data sets, recipes and components come as Python values: names, mappings, paths, results.
- A verb returns a result: frozen, with typed ``rows``, ``to_pandas()``, and a readable ``repr``
(:class:`paraphrase_rl.tables.Table`). ``notes`` has what a reader must know about the result.
- A verb prints nothing and never exits. ``progress=`` takes a callback, called with
  :class:`paraphrase_rl.progress.Progress`.
- A wrong argument raises :class:`paraphrase_rl.errors.PrlError`: one line that says what is wrong, and a hint. An
item that cannot be processed does not raise: its row gives the reason in ``failure``.
- ``registry=`` takes the components to choose from; by default those of all installed plug-ins.
- ``device=`` is a torch device; by default ``cuda`` where there is one and something runs on torch.
"""
