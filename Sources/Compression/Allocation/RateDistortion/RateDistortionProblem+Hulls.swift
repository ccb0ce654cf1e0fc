extension RateDistortionProblem {
    /// A step along a layer's lower convex hull.
    private struct Segment {
        var layer: Int
        /// The option that it leads to.
        var option: Int
        var cost: Int
        /// Distortion saved, above zero.
        var gain: Double
        var slope: Double { gain / Double(cost) }
    }

    /// The Lagrangian answer and the bound of the relaxation.
    ///
    /// For a price λ each layer takes the option with the least δ + λ·cost, a corner of the lower convex hull of its
    /// options. As λ falls, layers move along their hulls, the steepest segment of all first; the budget is met at the λ
    /// of the first segment that no longer fits. A part of that segment would give the best answer of the relaxed problem:
    /// the lower bound. What is left of the budget is spent on the steepest improvements.
    func solvedOnHulls() -> RateDistortionSolution {
        let hulls = layers.indices.map { hull(of: $0) }
        var choices = hulls.map(\.first)
        var left = budget - zip(layers, choices).reduce(0) { $0 + $1.0.options[$1.1].cost }
        var distortion = zip(layers, choices).reduce(0) { $0 + $1.0.options[$1.1].distortion }
        let segments = hulls.flatMap(\.segments).enumerated().sorted {
            ($1.element.slope, $0.offset) < ($0.element.slope, $1.offset)
        }.map(\.element)
        var bound: Double?
        for segment in segments {
            guard segment.cost <= left else {
                bound = distortion - segment.slope * Double(left)
                break
            }
            choices[segment.layer] = segment.option
            left -= segment.cost
            distortion -= segment.gain
        }
        return solution(spendingSlack(choices), lowerBound: bound ?? distortion)
    }

    /// The lower convex hull of a layer's options, from the best of the cheapest on, as far as it falls. O(K log K).
    private func hull(of index: Int) -> (first: Int, segments: [Segment]) {
        let options = layers[index].options
        let order = options.indices.sorted {
            (options[$0].cost, options[$0].distortion, $0) < (options[$1].cost, options[$1].distortion, $1)
        }
        /// Distortion saved for each unit of cost from one option to a dearer one.
        func slope(_ from: Int, _ to: Int) -> Double {
            (options[from].distortion - options[to].distortion) / Double(options[to].cost - options[from].cost)
        }
        var corners = [order[0]]
        for option in order.dropFirst() {
            guard let last = corners.last, options[option].distortion < options[last].distortion,
                options[option].cost > options[last].cost
            else { continue }
            while corners.count > 1,
                slope(corners[corners.count - 1], option)
                    >= slope(corners[corners.count - 2], corners[corners.count - 1])
            {
                corners.removeLast()
            }
            corners.append(option)
        }
        let segments = zip(corners, corners.dropFirst()).map { from, to in
            Segment(
                layer: index, option: to, cost: options[to].cost - options[from].cost,
                gain: options[from].distortion - options[to].distortion)
        }
        return (corners[0], segments)
    }
}
