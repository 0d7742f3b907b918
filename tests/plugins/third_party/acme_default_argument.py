from paraphrase_rl import hookimpl


@hookimpl
def on_step_end(record, folder=None):
    pass
