import CoppiceNetworks
import CoppiceTensors

/// Gates m on the batch normalizations of channels that bi-level pruning chooses among: z = m ⊙ θ of their scales and
/// biases, while the filters before them stay.
///
/// What a removed channel would add is asked with its gate a little open (``slit``): at zero itself the ReLU behind the norm
/// has no slope.
///
/// A mask on filters would tell nothing there. What a norm gives does not change with the length of a filter, so that
/// Σ θ ⊙ g over one that is kept is zero; and of one that is removed no variance is left, so that gradients are larger by
/// 1/√ε. Behind the norm both are of one scale.
package struct ChannelGates {
    /// A scale or bias; channels of several groups may lie in it, as where a padded shortcut widens a stream.
    private struct Gate {
        var name: String
        var parameter: Parameter
        /// The parameter's place in the network.
        var place: Int
        /// The groups, with the positions of each of their channels.
        var parts: [(group: Int, positions: [[Int]])]
    }

    /// m of removed channels while gradients by gates are taken; zero otherwise.
    package static let slit = 1e-3

    private let gates: [Gate]
    /// θ of each gate's parameter, `[channels]`: kept or not.
    private var values: [Tensor]

    /// The network's parameters are the gates' θ.
    ///
    /// - Parameter places: of the groups that are chosen from. Those that no norm is behind have no gates.
    package init(_ groups: ChannelGroups, at places: [Int], of network: Module) {
        let norms = Set(
            network.modules.filter { $0.module is BatchNorm }.flatMap { own in
                own.module.parameters.map { own.name.isEmpty ? $0.name : "\(own.name).\($0.name)" }
            })
        let parameters = Dictionary(
            uniqueKeysWithValues: network.parameters.enumerated().map {
                ($1.name, (place: $0, parameter: $1.parameter))
            })
        var found: [Gate] = []
        for group in places {
            let members = groups.groups[group].members.filter { norms.contains($0.name) }
            // A scale and a bias behind each convolution: else some of the channel would pass beside its gates.
            guard members.count >= 2 * groups.groups[group].makers.count(where: { $0.shape.count > 2 }) else {
                continue
            }
            for member in members {
                guard let own = parameters[member.name] else { continue }
                let index = found.firstIndex { $0.name == member.name } ?? found.count
                if index == found.count {
                    found.append(Gate(name: member.name, parameter: own.parameter, place: own.place, parts: []))
                }
                found[index].parts.append((group, member.positions))
            }
        }
        gates = found
        values = gates.map { $0.parameter.wrappedValue.detached().copied() }
    }

    /// The groups that have gates.
    package var groups: Set<Int> { Set(gates.flatMap { $0.parts.map(\.group) }) }

    package var parameters: [Parameter] { gates.map(\.parameter) }

    /// Puts m ⊙ θ into the network.
    ///
    /// - Parameter passing: m of removed channels.
    package func show(_ kept: KeptChannels, passing: Double = 0) {
        for (gate, own) in zip(gates, values) {
            gate.parameter.wrappedValue = own * indicator(of: gate, kept, passing: Float(passing))
        }
    }

    /// Puts θ into the network for an update.
    ///
    /// - Parameter gradients: by the network's parameters; those by z become those by θ, m ⊙ ∂ℓ/∂z.
    func reveal(_ gradients: inout [Tensor], _ kept: KeptChannels) {
        for (gate, own) in zip(gates, values) {
            gradients[gate.place] = gradients[gate.place].detached() * indicator(of: gate, kept)
            gate.parameter.wrappedValue = own
        }
    }

    /// Takes what the update has made of θ, and puts m ⊙ θ into the network.
    mutating func conceal(_ kept: KeptChannels) {
        values = gates.map { $0.parameter.wrappedValue.detached() }
        show(kept)
    }

    /// dℓ/dm of each channel of the groups that have gates, by ``BilevelPruning/maskGradient(weights:slope:mask:regularization:_:)``
    /// summed over its scales and biases.
    ///
    /// - Parameter slopes: ∂ℓ/∂z of ``parameters``.
    /// - Throws: `.badData` naming a parameter whose slope is not finite.
    package func maskGradients(
        _ slopes: [Tensor], _ kept: KeptChannels, regularization: Double, _ kind: BilevelPruning.ImplicitGradient
    ) throws -> [Int: [Double]] {
        var sums: [Int: [Double]] = [:]
        for (index, gate) in gates.enumerated() {
            let flow = slopes[index].detached().contiguous()
            try ExactSelection.checkFinite(flow, name: "\(gate.name) (gradient)")
            let slope = BilevelPruning.maskGradient(
                weights: values[index], slope: flow, mask: indicator(of: gate, kept),
                regularization: regularization, kind
            ).doubles()
            for (group, positions) in gate.parts {
                let own = positions.map { $0.reduce(0) { $0 + slope[$1] } }
                sums[group] = sums[group].map { zip($0, own).map(+) } ?? own
            }
        }
        return sums
    }

    /// m at each position of a parameter.
    private func indicator(of gate: Gate, _ kept: KeptChannels, passing: Float = 0) -> Tensor {
        var flags = [Float](repeating: 1, count: gate.parameter.wrappedValue.count)
        for (group, positions) in gate.parts {
            for (channel, places) in positions.enumerated() where !kept[group, channel] {
                for place in places { flags[place] = passing }
            }
        }
        return Tensor(flags, shape: [flags.count])
    }
}
