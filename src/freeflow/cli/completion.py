"""freeflow completion"""

import click
from click.shell_completion import get_completion_class

VARIABLE = "_FREEFLOW_COMPLETE"  # click's name for it


@click.command("completion", short_help="What makes a shell complete freeflow's commands.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(context, shell):
    """Print what makes SHELL complete freeflow's commands and options:

    \b
        source <(freeflow completion bash)                                   # in ~/.bashrc
        source <(freeflow completion zsh)                                    # in ~/.zshrc
        freeflow completion fish > ~/.config/fish/completions/freeflow.fish
    """
    click.echo(get_completion_class(shell)(context.find_root().command, {}, "freeflow", VARIABLE).source())
