import CoppiceModels
import CoppiceNetworks
import CoppiceTensors

/// Running statistics of norms, which a mask changes although no weight does: with those of the dense network a masked one
/// may answer at random.
extension MaskFile {
    /// Those of a network as it is.
    public static func statistics(of network: Module) -> [String: [Float]] {
        Dictionary(
            uniqueKeysWithValues: network.stateTensors.lazy
                .filter { $0.state.wrappedValue.dataType.isFloatingPoint && $0.state.wrappedValue.rank == 1 }
                .map { ($0.name, $0.state.wrappedValue.floats()) })
    }

    /// Puts the file's statistics into a network; where the file has none the network's stay.
    ///
    /// - Parameter source: what errors call the file.
    /// - Throws: `.badData` naming a statistic that the network lacks or has in another size; the network is as it was then.
    public func restoreStatistics(_ network: Module, source: String? = nil) throws {
        let states = Dictionary(uniqueKeysWithValues: network.stateTensors.map { ($0.name, $0.state) })
        for (name, values) in statistics.sorted(by: { $0.key < $1.key }) {
            guard states[name]?.wrappedValue.shape == [values.count] else {
                throw CoppiceError(
                    .badData, source: source, field: name,
                    "has \(values.count) running statistics, expected "
                        + (states[name].map { "\($0.wrappedValue.count)" }
                            ?? "none of this name, the mask is of another model"))
            }
        }
        for (name, values) in statistics {
            guard let state = states[name] else { continue }
            state.wrappedValue = Tensor(values).converted(to: state.wrappedValue.dataType)
        }
    }
}
