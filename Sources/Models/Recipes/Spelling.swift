/// Suggestions for misspelt words.
package enum Spelling {
    /// Lists of more words than this are cut short.
    private static let longestList = 24

    /// `; did you mean "nearest"?` when one of the words is near, else the list of all, or the first few of very many.
    package static func hint(_ word: String, _ known: [String]) -> String {
        // Cut, so that a hostile word costs nothing.
        let letters = Array(word.lowercased().prefix(40))
        let ranked = known.map { (word: $0, distance: distance(letters, Array($0))) }
        if let nearest = ranked.min(by: { $0.distance < $1.distance }),
            nearest.distance <= max(1, min(letters.count, nearest.word.count) / 2)
        {
            return "; did you mean \"\(nearest.word)\"?"
        }
        guard known.count > longestList else { return "; expected one of \(known.joined(separator: ", "))" }
        let first = known.prefix(longestList / 3)
        return "; expected one of \(first.joined(separator: ", ")) and \(known.count - first.count) more"
    }

    /// The number of letters to insert, delete or replace (Levenshtein).
    package static func distance(_ a: [Character], _ b: [Character]) -> Int {
        var row = Array(0...b.count)
        for (i, letter) in a.enumerated() {
            var diagonal = row[0]
            row[0] = i + 1
            for j in b.indices {
                let substituted = diagonal + (b[j] == letter ? 0 : 1)
                diagonal = row[j + 1]
                row[j + 1] = min(substituted, min(row[j], row[j + 1]) + 1)
            }
        }
        return row[b.count]
    }
}
