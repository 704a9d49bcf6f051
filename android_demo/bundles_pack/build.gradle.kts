// Unverified, as is every Gradle file here. `squeezebert-edge demo android --ai-pack` fills src/main.
plugins {
    alias(libs.plugins.android.ai.pack)
}

aiPack {
    packName = "bundles_pack"
    dynamicDelivery { deliveryType = "install-time" } // the app reads it as its assets
}
