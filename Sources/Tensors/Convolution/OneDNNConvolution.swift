import CSystemDNNL

/// Convolution in f32 by oneDNN.
///
/// The work is cut into ranges of images, and, where there are few images, of channels; each part is one oneDNN
/// primitive on one thread. Gradients of weights are summed over the parts in order. How the work is cut depends on
/// the sizes only, so results do not depend on the number of threads.
struct OneDNNConvolution {
    let problem: ConvolutionProblem
    /// Whether x and y lie with channels last.
    let isChannelsLast: Bool

    /// Computes one of x, w, y from the other two, in that order. The weights are contiguous, x and y too or with
    /// channels last; none is empty.
    ///
    /// - Returns: false where oneDNN has no implementation.
    func compute(
        _ operation: ConvolutionProblem.Operation, _ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>,
        into result: UnsafeMutablePointer<Float>
    ) -> Bool {
        let channels = channelRanges(operation)
        let images = imageRanges(operation, atMost: channels.count)
        var found: [OneDNNPlan] = []
        for channel in channels {
            for image in images {
                guard let plan = plans.cached(key(operation, channel, image)) else { return false }
                found.append(plan)
            }
        }
        let parts = Parts(channels: channels, images: images, plans: found)
        switch operation {
        case .forward: applyWeights(parts, weight: b, weightIsFirst: false, other: a, result)
        case .inputGradient: applyWeights(parts, weight: a, weightIsFirst: true, other: b, result)
        case .weightGradient: reduceWeights(parts, input: a, gradient: b, result)
        }
        return true
    }

    private struct Parts {
        var channels: [Channels]
        var images: [Range<Int>]
        /// By channel range, then by image range.
        var plans: [OneDNNPlan]
    }

    // MARK: Running

    /// The forward pass and the gradient of the input: weights are brought into the primitive's layout once.
    private func applyWeights(
        _ parts: Parts, weight: UnsafePointer<Float>, weightIsFirst: Bool, other: UnsafePointer<Float>,
        _ result: UnsafeMutablePointer<Float>
    ) {
        let count = parts.images.count
        // Plans of one channel range may want different layouts for different numbers of images: one weight for each
        // distinct plan.
        var distinct: [ObjectIdentifier: Int] = [:]
        var owners: [Int] = []
        let slots = parts.plans.enumerated().map { index, plan in
            let id = ObjectIdentifier(plan)
            // The same plan serves every channel range of one extent, but each has its own weights.
            let slot = distinct[id].flatMap { owners[$0] / count == index / count ? $0 : nil } ?? owners.count
            if slot == owners.count {
                distinct[id] = slot
                owners.append(index)
            }
            return slot
        }
        nonisolated(unsafe) let weights = UnsafeMutableBufferPointer<(UnsafeMutableRawPointer, TensorStorage?)?>
            .allocate(capacity: owners.count)
        weights.initialize(repeating: nil)
        inParallel(owners.count) { slot in
            let (plan, channels) = (parts.plans[owners[slot]], parts.channels[owners[slot] / count])
            let own = weight + offset(ofWeight: channels)
            weights[slot] = plan.inner(weightIsFirst ? plan.first : plan.second, own)
        }
        inParallel(parts.plans.count) { index in
            let (plan, channels, images) = (
                parts.plans[index], parts.channels[index / count], parts.images[index % count]
            )
            guard let (w, _) = weights[slots[index]] else { return }
            let from = weightIsFirst ? offset(ofOutput: channels, images) : offset(ofInput: channels, images)
            let to = weightIsFirst ? offset(ofInput: channels, images) : offset(ofOutput: channels, images)
            let (x, kept) = plan.inner(weightIsFirst ? plan.second : plan.first, other + from)
            let inner = plan.result.reorder.map { _ in TensorStorage(byteCount: plan.result.innerByteCount) }
            let out = inner?.pointer ?? UnsafeMutableRawPointer(result + to)
            plan.run(weightIsFirst ? w : x, weightIsFirst ? x : w, out)
            plan.writeResult(out, to: result + to)
            withExtendedLifetime((kept, inner)) {}
        }
        weights.deinitialize()
        weights.deallocate()
    }

    /// The gradient of the weights: one partial sum for each range of images, then their sum in order.
    private func reduceWeights(
        _ parts: Parts, input: UnsafePointer<Float>, gradient: UnsafePointer<Float>,
        _ result: UnsafeMutablePointer<Float>
    ) {
        let count = parts.images.count
        let partial = parts.plans.map { TensorStorage(byteCount: $0.result.innerByteCount) }
        inParallel(parts.plans.count) { index in
            let (plan, channels, images) = (
                parts.plans[index], parts.channels[index / count], parts.images[index % count]
            )
            let (x, keptX) = plan.inner(plan.first, input + offset(ofInput: channels, images))
            let (y, keptY) = plan.inner(plan.second, gradient + offset(ofOutput: channels, images))
            plan.run(x, y, partial[index].pointer)
            withExtendedLifetime((keptX, keptY)) {}
        }
        inParallel(parts.channels.count) { channel in
            let own = parts.channels[channel]
            let target = result + offset(ofWeight: own)
            // Layouts may differ where the last range has fewer images: sum in the primitive's layout only as far as
            // it is the same, and in ours from there on.
            let first = channel * count
            let plan = parts.plans[first]
            let same = (first..<first + count).prefix {
                parts.plans[$0].result.innerByteCount == plan.result.innerByteCount
                    && parts.plans[$0].hasSameResultLayout(as: plan)
            }
            let sum = partial[first].pointer.assumingMemoryBound(to: Float.self)
            let elements = plan.result.innerByteCount / MemoryLayout<Float>.stride
            for index in same.dropFirst() { add(partial[index].pointer, to: sum, elements) }
            write(plan, sum, target, own)
            for index in same.endIndex..<first + count {
                let size = own.weightCount(problem)
                let other = TensorStorage(byteCount: size * MemoryLayout<Float>.stride)
                let rest = other.pointer.assumingMemoryBound(to: Float.self)
                write(parts.plans[index], partial[index].pointer.assumingMemoryBound(to: Float.self), rest, own)
                add(other.pointer, to: target, size)
                withExtendedLifetime(other) {}
            }
        }
    }

    /// Brings a result in the primitive's layout to row-major memory.
    private func write(
        _ plan: OneDNNPlan, _ inner: UnsafeMutablePointer<Float>, _ target: UnsafeMutablePointer<Float>,
        _ channels: Channels
    ) {
        if plan.result.reorder == nil {
            target.update(from: inner, count: channels.weightCount(problem))
        } else {
            plan.writeResult(inner, to: target)
        }
    }

    private func add(_ other: UnsafeMutableRawPointer, to sum: UnsafeMutablePointer<Float>, _ count: Int) {
        let other = other.assumingMemoryBound(to: Float.self)
        for i in 0..<count { sum[i] += other[i] }
    }

    // MARK: Cutting

    /// A range of groups, and of the channels within each: all of them where there are several groups.
    private struct Channels {
        var groups: Range<Int>
        var inputs: Range<Int>
        var outputs: Range<Int>

        func weightCount(_ problem: ConvolutionProblem) -> Int {
            groups.count * outputs.count * inputs.count * problem.kernelPlane
        }
    }

    /// Cuts channels only where there are too few images to keep some threads busy.
    private func channelRanges(_ operation: ConvolutionProblem.Operation) -> [Channels] {
        let whole = Channels(
            groups: 0..<problem.groups, inputs: 0..<problem.inputs, outputs: 0..<problem.outputs)
        let wanted = problem.images >= 4 ? 1 : 4 / problem.images
        if problem.groups > 1 {
            return cut(problem.groups, into: wanted, unit: 1).map { range in
                var part = whole
                part.groups = range
                return part
            }
        }
        // Weights of a range of outputs lie together; of a range of inputs they do not, and so the gradient of the
        // weights is cut by outputs, too. Multiples of 32 fill vectors.
        return cut(operation == .inputGradient ? problem.inputs : problem.outputs, into: wanted, unit: 32).map {
            range in
            var part = whole
            if operation == .inputGradient { part.inputs = range } else { part.outputs = range }
            return part
        }
    }

    private func imageRanges(
        _ operation: ConvolutionProblem.Operation, atMost channelParts: Int
    ) -> [Range<Int>] {
        guard operation == .weightGradient else { return cut(problem.images, into: 16, unit: 1) }
        // Each range needs memory for a partial sum: 64 MB in all.
        let weights = problem.weightShape.reduce(1, *)
        return cut(problem.images, into: max(1, min(8, (1 << 24) / weights)), unit: 1)
    }

    /// Ranges of about the same length, a multiple of `unit` each but the last.
    private func cut(_ count: Int, into parts: Int, unit: Int) -> [Range<Int>] {
        let length = max(1, ((count + parts - 1) / parts + unit - 1) / unit * unit)
        return stride(from: 0, to: count, by: length).map { $0..<min(count, $0 + length) }
    }

    private func offset(ofInput channels: Channels, _ images: Range<Int>) -> Int {
        let channel = channels.groups.lowerBound * problem.inputs + channels.inputs.lowerBound
        let image = images.lowerBound * problem.groups * problem.inputs * problem.inputPlane
        return image + channel * (isChannelsLast ? 1 : problem.inputPlane)
    }

    private func offset(ofOutput channels: Channels, _ images: Range<Int>) -> Int {
        let channel = channels.groups.lowerBound * problem.outputs + channels.outputs.lowerBound
        let image = images.lowerBound * problem.groups * problem.outputs * problem.outputPlane
        return image + channel * (isChannelsLast ? 1 : problem.outputPlane)
    }

    private func offset(ofWeight channels: Channels) -> Int {
        let row = channels.groups.lowerBound * problem.outputs + channels.outputs.lowerBound
        return (row * problem.inputs + channels.inputs.lowerBound) * problem.kernelPlane
    }

    private func key(
        _ operation: ConvolutionProblem.Operation, _ channels: Channels, _ images: Range<Int>
    ) -> OneDNNPlan.Key {
        var part = problem
        part.images = images.count
        part.groups = channels.groups.count
        part.inputs = channels.inputs.count
        part.outputs = channels.outputs.count
        func planes(_ channels: Int, _ size: Windows.Axes) -> [Int] {
            isChannelsLast
                ? Tensor.channelsLastStrides([1, channels, size.rows, size.columns])
                : [channels * size.rows * size.columns, size.rows * size.columns, size.columns, 1]
        }
        let row = problem.inputs * problem.kernelPlane
        let weights = [row, problem.kernelPlane, problem.windows.kernel.columns, 1]
        return OneDNNPlan.Key(
            operation: operation, part: part,
            inputStrides: planes(problem.groups * problem.inputs, problem.inputSize),
            weightStrides: (part.groups > 1 ? [problem.outputs * row] : []) + weights,
            outputStrides: planes(problem.groups * problem.outputs, problem.outputSize))
    }
}

extension OneDNNPlan {
    fileprivate func hasSameResultLayout(as other: OneDNNPlan) -> Bool {
        self === other
            || withUnsafePointer(to: result.inner) { a in
                withUnsafePointer(to: other.result.inner) { dnnl_memory_desc_equal(a, $0) != 0 }
            }
    }
}

/// One cache for all convolutions of the process.
private let plans = PlanCache<OneDNNPlan.Key, OneDNNPlan> { OneDNNPlan($0) }
