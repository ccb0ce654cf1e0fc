import ArgumentParser
import CoppiceInference

/// How a model is computed.
struct ExecutionArguments: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "What activations are when a prompt meets bf16 weights: bf16, twice as fast, or f32.", valueName: "type"))
    var activations = ActivationPrecision.bf16

    /// With the kernels that `coppice doctor --tune` found best here.
    var options: ExecutionOptions { ExecutionOptions(activations: activations, kernels: TunedKernels.load()) }
}

extension ActivationPrecision: ExpressibleByArgument {}
