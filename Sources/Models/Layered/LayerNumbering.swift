import CoppiceNetworks

/// The layers that are left of a network, numbered anew, and what their tensors are called before and after.
struct LayerNumbering: Sendable, Equatable {
    /// What stands before a layer's number in names, such as `model.layers.`.
    let prefix: String
    /// By new number.
    let oldLayers: [Int]

    /// The layer that a tensor is of, and what its name has behind the number; nil for what is in no layer.
    private func place(of name: String) -> (layer: Int, rest: Substring)? {
        guard name.hasPrefix(prefix) else { return nil }
        let rest = name.dropFirst(prefix.count)
        guard let end = rest.firstIndex(of: "."), let layer = Int(rest[..<end]) else { return nil }
        return (layer, rest[end...])
    }

    /// What a tensor of the smaller network is called in the whole one.
    func originalName(_ name: String) -> String {
        guard let (layer, rest) = place(of: name), oldLayers.indices.contains(layer) else { return name }
        return prefix + "\(oldLayers[layer])" + rest
    }

    /// What a tensor of the whole network is called in the smaller one; nil where it goes with its layer.
    func newName(_ name: String) -> String? {
        guard let (layer, rest) = place(of: name) else { return name }
        return oldLayers.firstIndex(of: layer).map { prefix + "\($0)" + rest }
    }

    /// Gives the smaller network copies of the weights that the whole one has for it.
    func copyWeights(of whole: some Module, to smaller: some Module) {
        let parameters = Dictionary(uniqueKeysWithValues: whole.parameters.map { ($0.name, $0.parameter) })
        for (name, parameter) in smaller.parameters {
            guard let own = parameters[originalName(name)] else {
                preconditionFailure("\(originalName(name)) is missing")
            }
            parameter.wrappedValue = own.wrappedValue.detached().copied()
        }
    }
}
