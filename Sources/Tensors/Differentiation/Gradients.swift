/// The gradients of `output` with respect to each of `inputs`, by reverse accumulation.
///
/// - Parameters:
///   - output: a tensor computed from the inputs. Without `seed` it must be a scalar.
///   - inputs: tensors that were ``Tensor/tracked()`` or computed from such. One that `output` does not depend on
///     has a gradient of zeros.
///   - seed: the gradient by `output` (its shape); one by default.
///   - differentiable: whether the gradients are themselves recorded, so that they can be differentiated again.
/// - Returns: gradients in the shapes and types of the inputs.
/// - Complexity: about two to three times the recorded operations.
public func gradients(
    of output: Tensor, withRespectTo inputs: [Tensor], seed: Tensor? = nil, differentiable: Bool = false
) -> [Tensor] {
    precondition(seed != nil || output.count == 1, "the gradient of shape \(output.shape) needs a seed")
    precondition(seed == nil || seed?.shape == output.shape, "the seed has not the output's shape \(output.shape)")
    let start = seed ?? Tensor.ones(output.shape, dataType: output.dataType)
    return Recording.$isEnabled.withValue(differentiable && Recording.isEnabled) {
        accumulate(from: output, seed: start, inputs: inputs)
    }
}

/// The product of the Hessian of `function` at `point` with `direction`, by differentiating the gradient's inner
/// product with the direction.
///
/// - Returns: one tensor for each of `point`.
public func hessianVectorProduct(
    of function: ([Tensor]) -> Tensor, at point: [Tensor], direction: [Tensor]
) -> [Tensor] {
    let inputs = point.map { $0.tracked() }
    let first = gradients(of: function(inputs), withRespectTo: inputs, differentiable: true)
    let products = zip(first, direction).map { ($0 * $1.detached()).sum() }
    guard let head = products.first else { return [] }
    return gradients(of: products.dropFirst().reduce(head, +), withRespectTo: inputs)
}

private func accumulate(from output: Tensor, seed: Tensor, inputs: [Tensor]) -> [Tensor] {
    let zero = { (input: Tensor) in Tensor.zeros(input.shape, dataType: input.dataType) }
    guard let root = output.node else { return inputs.map(zero) }
    let wanted = Set(inputs.compactMap { $0.node.map(ObjectIdentifier.init) })
    var gradients: [ObjectIdentifier: Tensor] = [ObjectIdentifier(root): seed]
    for node in leadingNodes(from: root, to: inputs) {
        let identity = ObjectIdentifier(node)
        guard let primitive = node.primitive, let gradient = gradients[identity] else { continue }
        if !wanted.contains(identity) { gradients[identity] = nil }
        let parts = DerivativeRules.gradients(of: primitive, inputs: node.inputs, node: node, seed: gradient)
        for (input, part) in zip(node.inputs, parts) {
            guard let part, let key = input.node.map(ObjectIdentifier.init) else { continue }
            assert(part.shape == input.shape, "a gradient of shape \(part.shape) for an input of shape \(input.shape)")
            gradients[key] = gradients[key].map { $0 + part } ?? part
        }
    }
    return inputs.map { input in
        input.node.flatMap { gradients[ObjectIdentifier($0)] } ?? zero(input)
    }
}

/// The nodes below `root` from which one of `inputs` can be reached, latest first.
private func leadingNodes(from root: Node, to inputs: [Tensor]) -> [Node] {
    // Nothing recorded before the first of `inputs` can lead to one.
    let first = inputs.compactMap { $0.node?.number }.min() ?? .max
    var reached: [ObjectIdentifier: Node] = [:]
    var pending = [root]
    while let node = pending.popLast() {
        guard reached.updateValue(node, forKey: ObjectIdentifier(node)) == nil else { continue }
        pending += node.inputs.lazy.compactMap(\.node).filter { $0.number >= first }
    }
    let ordered = reached.values.sorted { $0.number < $1.number }
    var leads = Set(inputs.compactMap { $0.node.map(ObjectIdentifier.init) })
    for node in ordered
    where node.inputs.contains(where: { $0.node.map { leads.contains(ObjectIdentifier($0)) } ?? false }) {
        leads.insert(ObjectIdentifier(node))
    }
    return ordered.filter { leads.contains(ObjectIdentifier($0)) }.reversed()
}
