import ArgumentParser
import CoppiceInference

/// How exactly prompts are read.
struct PrecisionOption: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "What activations are when a prompt meets bf16 weights: bf16, twice as fast, or f32.", valueName: "type"))
    var activations = ActivationPrecision.bf16
}

extension ActivationPrecision: ExpressibleByArgument {}
