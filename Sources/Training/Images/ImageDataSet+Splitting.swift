import CoppiceTensors

extension ImageDataSet {
    /// Holds images out for validation, of each class as many in proportion as there are (stratified); both parts keep
    /// the set's order. The last image of a class stays to be trained on, unless no other can be taken. A function of the labels, the number and the seed alone. O(pixels).
    ///
    /// - Parameter count: images held out.
    /// - Throws: `.usage` where the count leaves either part empty.
    public func split(validation count: Int, seed: UInt64) throws -> (training: ImageDataSet, validation: ImageDataSet)
    {
        guard (1..<self.count).contains(count) else {
            throw CoppiceError(
                .usage, source: name, field: "validation",
                "\(count) images, expected at least 1 and less than the \(self.count) there are")
        }
        let held = stratified(count, seed: seed, leavesOne: true)
        let isHeld = held.reduce(into: [Bool](repeating: false, count: self.count)) { $0[$1] = true }
        return (subset(isHeld.indices.filter { !isHeld[$0] }), subset(held))
    }

    /// What to say where a class has one image alone, which is trained on and not held out; nil where none has.
    package var loneClassWarning: String? {
        let sizes = classSizes
        let lone = sizes.indices.filter { sizes[$0] == 1 }.map { classNames[$0] }
        guard let first = lone.first else { return nil }
        return (lone.count == 1 ? "class \(first) has" : "\(lone.count) classes, \(first) the first, have each")
            + " one among the training \(noun), which is trained on: none is held out"
    }

    /// A part of the set with as many images of each class in proportion as there are, in the set's order.
    ///
    /// - Throws: `.usage` for less than one image or more than there are.
    public func sample(_ count: Int, seed: UInt64) throws -> ImageDataSet {
        guard (1...self.count).contains(count) else {
            throw CoppiceError(
                .usage, source: name, field: "images", "\(count), expected 1 to the \(self.count) there are")
        }
        return subset(stratified(count, seed: seed))
    }

    /// The images of some classes, which are labelled anew in the order of these, in the set's order. O(pixels).
    ///
    /// - Throws: `.usage` for what is no class or named twice; `.badData` where a class has no image.
    public func keeping(classes: [Int]) throws -> ImageDataSet {
        guard classes.allSatisfy(classNames.indices.contains), Set(classes).count == classes.count, !classes.isEmpty
        else {
            throw CoppiceError(
                .usage, source: name, field: "classes", "\(classes), expected distinct ones of 0..<\(classCount)")
        }
        if let missing = classes.first(where: { !labels.contains($0) }) {
            throw CoppiceError(.badData, source: name, "has no image of class \(classNames[missing])")
        }
        let own = subset(labels.indices.filter { classes.contains(labels[$0]) })
        return ImageDataSet(
            name: name, pixels: own.pixels, labels: own.labels.map { classes.firstIndex(of: $0) ?? 0 },
            classNames: classes.map { classNames[$0] }, normalization: normalization)
    }

    /// Places of `count` images, ascending: of each class its share, rounded so that the largest remainders are rounded
    /// up, chosen at random.
    ///
    /// - Parameter leavesOne: another class gives one more where a class would give its last.
    private func stratified(_ count: Int, seed: UInt64, leavesOne: Bool = false) -> [Int] {
        var members = [[Int]](repeating: [], count: classCount)
        for (index, label) in labels.enumerated() { members[label].append(index) }
        var shares = members.map { $0.count * count / self.count }
        // The remainders in units of 1 / count; the class's number decides among equals.
        let remainders = members.map { $0.count * count % self.count }
        let byRemainder = members.indices.sorted { (remainders[$1], $0) < (remainders[$0], $1) }
        for label in byRemainder.prefix(count - shares.reduce(0, +)) { shares[label] += 1 }
        if leavesOne {
            for label in members.indices where shares[label] > 0 && shares[label] == members[label].count {
                guard let other = byRemainder.first(where: { shares[$0] + 1 < members[$0].count }) else { break }
                shares[label] -= 1
                shares[other] += 1
            }
        }
        return members.enumerated().flatMap { label, places -> [Int] in
            guard shares[label] > 0 else { return [] }
            let order = EpochOrder(count: places.count, seed: EpochOrder.mix(seed) ^ UInt64(label))
            return (0..<shares[label]).map { places[order.index(ofSample: $0)] }
        }.sorted()
    }
}
