import ArgumentParser
import CoppiceInference
import CoppiceTensors
import Foundation

/// How a model is computed.
struct ExecutionArguments: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "What activations are when a prompt meets bf16 weights: bf16, twice as fast, or f32.", valueName: "type"))
    var activations = ActivationPrecision.bf16

    @Flag(help: "Pin each worker thread to a processor of its own, as COPPICE_PIN=1 does.")
    var pin = false

    /// Pins threads where asked to.
    ///
    /// - Returns: the options, with the kernels that `coppice doctor --tune` found best here.
    /// - Throws: `usage` or `unavailable` where threads cannot be pinned.
    func apply() throws -> ExecutionOptions {
        if try pin || Self.environmentPins() { try WorkerPinning.pin() }
        return ExecutionOptions(activations: activations, kernels: TunedKernels.load())
    }

    private static func environmentPins() throws -> Bool {
        switch ProcessInfo.processInfo.environment["COPPICE_PIN"] {
        case nil, "", "0": return false
        case "1": return true
        case .some(let value):
            throw CoppiceError(.usage, field: "COPPICE_PIN", "expected 0 or 1, found \(value)")
        }
    }
}

extension ActivationPrecision: ExpressibleByArgument {}
