import CoppiceNetworks
import CoppiceTensors

extension ChannelGroups {
    /// Measures what removing channels of each group alone does to the outputs: the curves of ``RateDistortionChannels``,
    /// whose counts are of channels.
    ///
    /// Channels are the inputs of what reads them: kernels of convolutions lose them in all their filters, linear layers
    /// lose columns, in every layer that reads the group. The outputs then are those of the network that has them cut out,
    /// in use (running statistics) and before any softmax, and are compared with those of the network as it is. Leaves the
    /// network as it was.
    ///
    /// - Parameters:
    ///   - network: the one that the groups were found in.
    ///   - candidates: of each group the channels that may go, the first to go first.
    ///   - gone: of each group, how many of the first have gone already (what belongs to them is zero).
    ///   - inputs: batches of inputs, `[examples, ...]` each.
    ///   - grid: the rates to measure at, as parts of what is left; where not all may go, the most that may is a point too.
    ///   - distortion: what becomes of the examples' errors.
    ///   - progress: told the groups done and their number.
    /// - Returns: a curve for each group.
    /// - Throws: `.usage` without inputs; `.badData` for outputs that are not finite, naming the group.
    /// - Complexity: for each group and rate, the steps of a ``SteppedNetwork`` over all inputs from the first that reads
    ///   the group on, of other networks the whole forward pass.
    public func distortionCurves(
        of network: any SupervisedNetwork, removing candidates: [[Int]], gone: [Int], on inputs: [Tensor],
        grid: RateGrid = RateGrid(), distortion: OutputDistortion = .mean,
        progress: (_ done: Int, _ count: Int) -> Void = { _, _ in }
    ) throws -> [DistortionCurve] {
        precondition(
            candidates.count == groups.count && zip(candidates, gone).allSatisfy { $0.count >= $1 },
            "channels of other groups")
        let parameters = Dictionary(uniqueKeysWithValues: network.parameters.map { ($0.name, $0.parameter) })
        let readers = groups.map { group in group.members.filter(\.isReader).compactMap { parameters[$0.name] } }
        var curves = [DistortionCurve?](repeating: nil, count: groups.count)
        try OutputProbe(network, on: inputs).forEach(readers) { index, errors in
            let (group, own) = (groups[index], candidates[index])
            let originals = readers[index].map(\.wrappedValue)
            func restore() { for (reader, value) in zip(readers[index], originals) { reader.wrappedValue = value } }
            defer { restore() }
            let (left, least) = (group.count - gone[index], group.count - own.count)
            var counts = grid.keptCounts(of: left).filter { $0 >= least && $0 < left }
            if least < counts.last ?? left { counts.append(least) }
            let points = try counts.map { kept in
                restore()
                group.closeReaders(of: own.prefix(group.count - kept), in: parameters)
                return try DistortionCurve.Point(
                    kept: kept, distortion, of: errors(), in: group.name, unit: "channels")
            }
            curves[index] = DistortionCurve(
                name: group.name, count: group.count, points: [.init(kept: left, distortion: 0)] + points)
            progress(curves.count { $0 != nil }, groups.count)
        }
        return curves.compactMap { $0 }
    }
}
