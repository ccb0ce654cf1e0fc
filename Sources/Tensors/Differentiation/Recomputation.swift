/// Gradients through a function that is run again in the backward pass.
enum Recomputation {
    /// The gradients of `function` at `inputs`, by running it again and differentiating that run.
    ///
    /// Where the backward pass is recorded, the run is on the inputs themselves, so that the result can be
    /// differentiated again; else on copies that are cut off from what computed them.
    static func gradients(of function: ([Tensor]) -> Tensor, at inputs: [Tensor], seed: Tensor) -> [Tensor?] {
        if Recording.isEnabled {
            // A fresh identity of each input, recorded, so that the part of the graph behind it is not walked.
            let aliases = inputs.map { $0.isTracked ? Tensor.apply(.reshape($0.shape), [$0]) : $0 }
            let output = function(aliases)
            let tracked = aliases.filter(\.isTracked)
            var found = CoppiceTensors.gradients(
                of: output, withRespectTo: tracked, seed: seed, differentiable: true
            ).makeIterator()
            return aliases.map { $0.isTracked ? found.next() : nil }
        }
        return Recording.$isEnabled.withValue(true) {
            let copies = inputs.map { $0.isTracked ? $0.tracked() : $0 }
            let output = function(copies)
            let tracked = copies.filter(\.isTracked)
            var found = CoppiceTensors.gradients(of: output, withRespectTo: tracked, seed: seed).makeIterator()
            return copies.map { $0.isTracked ? found.next() : nil }
        }
    }
}

/// Runs `function` without keeping its intermediate values; the backward pass runs it again (gradient
/// checkpointing: Chen et al., "Training deep nets with sublinear memory cost", 2016).
///
/// `function` must compute the same each time and use tracked tensors only through its argument: gradients flow to
/// `inputs` alone.
public func checkpointed(
    _ inputs: [Tensor], _ function: @escaping @Sendable ([Tensor]) -> Tensor
) -> Tensor {
    Tensor.apply(.fused(Checkpointed(function: function)), inputs)
}

private struct Checkpointed: FusedOperation {
    let function: @Sendable ([Tensor]) -> Tensor

    func evaluate(_ inputs: [Tensor]) -> Tensor { withoutRecording { function(inputs).detached() } }
    func composition(_ inputs: [Tensor]) -> Tensor { function(inputs) }
}
