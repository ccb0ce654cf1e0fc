extension Int {
    /// The count of an experiment of another size (``ExperimentSetting/scale``), rounded.
    func scaled(by factor: Double, least: Int = 1) -> Int {
        Swift.max(least, Int((Double(self) * factor).rounded()))
    }
}
