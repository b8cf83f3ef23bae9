"""The Python side of statex: its expanded models, and what its runs leave behind.

from statex import read_metrics, read_evaluations, to_pandas     # no further package needed
statex.register()                                                # needs statex[models]
"""

from statex.runs import flatten, read_evaluations, read_metrics, to_pandas

__version__ = "0.1.0"

__all__ = ["__version__", "flatten", "read_evaluations", "read_metrics", "register", "to_pandas"]


def register() -> None:
    """Makes transformers' Auto classes open expanded models with this package's code.

    Without it they take the code that lies in the model's directory, if they are told
    `trust_remote_code=True`. The two are the same.
    """
    from transformers import AutoConfig, AutoModelForCausalLM

    from statex.models import (
        configuration_statex_gla,
        configuration_statex_mamba2,
        modeling_statex_gla,
        modeling_statex_mamba2,
    )

    for config, model in (
        (configuration_statex_gla.StatexGLAConfig, modeling_statex_gla.StatexGLAForCausalLM),
        (configuration_statex_mamba2.StatexMamba2Config, modeling_statex_mamba2.StatexMamba2ForCausalLM),
    ):
        AutoConfig.register(config.model_type, config, exist_ok=True)
        AutoModelForCausalLM.register(config, model, exist_ok=True)
        # What is saved holds its code again.
        config.register_for_auto_class()
        model.register_for_auto_class("AutoModelForCausalLM")
