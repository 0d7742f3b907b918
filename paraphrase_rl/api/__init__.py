"""The verbs of ``import paraphrase_rl as prl``. Everything the command ``prl`` does is one of these.

``scoring``, ``calibrating``, ``rewriting`` and ``data`` hold the verbs about texts; ``training``, ``evaluating``,
``hardening`` and ``reporting`` those about recipes and runs.

Conventions, the same for every verb:

- Texts, data sets, recipes and components come as Python values: names, mappings, paths, results.
- A verb returns a result: frozen, with typed ``rows``, ``to_pandas()``, and a ``repr`` to read
  (:class:`paraphrase_rl.tables.Table`). What a reader must know of it stands in ``notes``.
- A verb prints nothing and never exits. ``progress=`` takes a callback, called with
  :class:`paraphrase_rl.progress.Progress`.
- What a caller can get wrong raises :class:`paraphrase_rl.errors.PrlError`: one line that says what is wrong, and
  a hint. An item that fails does not raise: it stands in its row as ``failure``.
- ``registry=`` takes the components to choose from; by default those of all installed plug-ins.
- ``device=`` is a torch device; by default ``cuda`` where there is one and something runs on torch.
"""
