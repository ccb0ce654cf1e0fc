import CoppiceNetworks
import CoppiceTensors

/// The weights of a narrower network, taken from a wider one of the same architecture.
///
/// By default the first channels of each width stay, but for streams that padded shortcuts couple, which keep their
/// middle. The result computes what the wider network computes when the outputs of all other
/// channels are zero.
public struct ChannelCropping: Sendable {
    public let structure: ChannelStructure
    /// The channels of each width that stay, in the structure's order.
    public let kept: [Range<Int>]
    /// The architecture of what is left.
    public let architecture: VisionArchitecture

    /// - Parameter widths: what is left of each width.
    /// - Throws: `.badData` naming a width that is not from 1 to the present one, or channels that are coupled so that
    /// no
    ///   neighbouring ones can stay.
    public init(_ structure: ChannelStructure, to widths: [Int]) throws {
        precondition(widths.count == structure.names.count, "\(widths.count) widths for \(structure.names.count)")
        for (name, (old, new)) in zip(structure.names, zip(structure.widths, widths)) {
            guard (1...old).contains(new) else {
                throw CoppiceError(.badData, field: "widths.\(name)", "\(new), expected 1 to \(old), which there are")
            }
        }
        func named(_ widths: [Int]) -> [String: Int] {
            Dictionary(uniqueKeysWithValues: zip(structure.names, widths))
        }
        let starts = try structure.architecture.configuration.keptStarts(
            from: named(structure.widths), to: named(widths))
        kept = zip(structure.names, widths).map { name, width in
            let start = starts[name] ?? 0
            return start..<start + width
        }
        self.structure = structure
        architecture = try structure.resized(widths)
    }

    /// The narrower network with the kept weights and statistics.
    ///
    /// - Precondition: a network of the structure's architecture.
    public func callAsFunction(_ network: any VisionNetwork) -> any VisionNetwork {
        let result = architecture.makeUnloadedNetwork()
        let values = network.parameters.map { ($0.name, $0.parameter.wrappedValue.detached()) }
        let state = network.stateTensors.map { ($0.name, $0.state.wrappedValue) }
        let tensors = Dictionary(uniqueKeysWithValues: values + state)
        let cropped = Dictionary(
            uniqueKeysWithValues: structure.entries.map { entry -> (String, Tensor) in
                guard let whole = tensors[entry.name] else { preconditionFailure("\(entry.name) is missing") }
                return (entry.name, crop(whole, entry))
            })
        for (name, parameter) in result.parameters { cropped[name].map { parameter.wrappedValue = $0 } }
        for (name, tensor) in result.stateTensors { cropped[name].map { tensor.wrappedValue = $0 } }
        return result
    }

    private func crop(_ tensor: Tensor, _ entry: StructuredEntry) -> Tensor {
        var tensor = tensor
        for (axis, extent) in entry.axes.enumerated() where !extent.terms.isEmpty {
            let places = extent.places(in: structure.widths, keeping: kept)
            if places.count < tensor.shape[axis] { tensor = tensor.take(Tensor(places), axis: axis) }
        }
        return tensor.copied()
    }

    /// Sets the outputs of all channels that do not stay to zero in the wider network itself: weights, biases, and the
    /// scale and shift of norms.
    public func silence(_ network: any VisionNetwork) {
        let entries = Dictionary(uniqueKeysWithValues: structure.entries.map { ($0.name, $0) })
        for (name, parameter) in network.parameters {
            guard let outputs = entries[name]?.axes.first, !outputs.terms.isEmpty else { continue }
            var keeps = [Float](repeating: 0, count: outputs(structure.widths))
            for place in outputs.places(in: structure.widths, keeping: kept) { keeps[place] = 1 }
            let shape = [keeps.count] + parameter.wrappedValue.shape.dropFirst().map { _ in 1 }
            parameter.wrappedValue = (parameter.wrappedValue.detached() * Tensor(keeps, shape: shape)).contiguous()
        }
    }
}
