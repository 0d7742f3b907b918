from paraphrase_rl.plugin import hookimpl


@hookimpl
def register_detecters():
    return []
